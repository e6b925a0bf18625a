"""The programs train.py, evaluate.py and detect.py, where the console scripts find them."""
