"""Whom the switches of these tests let in."""

USER, PASSWORD, ENABLE = "micronova", "s3cret-login", "s3cret-enable"
