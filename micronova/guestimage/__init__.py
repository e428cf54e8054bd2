"""The guest image `tiny`: a complete small Linux made of Debian's kernel and busybox, built on this machine.

Decides what is in it and how it boots. Knows no manager and no driver; whoever wants the image in a cloud uploads
what `tiny.build` returns: the kernel as an image of format `aki`, the initial file system as `ari`, and the disk as
`tiny` itself, of format `ami` (raw bytes) with the properties `kernel_id`, `ramdisk_id` and `os_command_line`.
"""
