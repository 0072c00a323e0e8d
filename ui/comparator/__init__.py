"""The comparator: any number of runs in lockstep, running and finished alike."""
