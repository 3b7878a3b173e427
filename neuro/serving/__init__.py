"""What a network costs where it is used: at a rate, on a battery, under a load with a deadline, over years. Prints nothing."""
