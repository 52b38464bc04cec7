"""Side room: who asks. Evidence in, a verified caller out; nothing is believed that was not proven here."""
