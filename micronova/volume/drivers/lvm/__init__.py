"""Volumes as thin logical volumes of this host, exported by iSCSI."""
