"""The ways from a picture to detections that are compared: coded pictures, coded features, and neither."""
