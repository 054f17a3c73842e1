"""From a video or photos to a head in millimetres: intake, cameras, scale, model fit, texture."""
