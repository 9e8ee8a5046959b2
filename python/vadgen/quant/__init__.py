"""From float to int8: calibrate and quantize, read and write .tflite, TFLite Micro as oracle."""
