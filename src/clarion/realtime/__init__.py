"""From a committed change to every open screen: frames, brokers, the hub, and the carriers."""
