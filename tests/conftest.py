"""What every test shares. The servers and the network guard are plugins: see `services.py` and `network.py`."""
