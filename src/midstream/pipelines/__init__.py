"""The ways from an image to detections that are compared: coded images, coded features, and neither."""
