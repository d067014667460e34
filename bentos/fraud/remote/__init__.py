"""The model step in another process: any server of the Open Inference Protocol v2 scores, all else stays here."""
