"""The command `micronova`: words for people and scripts. Decides nothing about the cloud; it asks managers."""
