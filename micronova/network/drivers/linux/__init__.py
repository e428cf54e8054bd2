"""The linux network driver: driver.py is the driver, the other files its nouns."""
