"""The rbd driver: driver.py is the driver, the other files its nouns."""
