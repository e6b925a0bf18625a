"""``python -m multibox.data check DIR``: look at a data set before training."""
from multibox.data.check import command

if __name__ == '__main__':
    command()
