"""The linux network driver: driver.py is the driver, the other files its nouns. What any switch needs is in served."""
