"""Ad platforms: spend read from them, decisions carried out there and confirmed."""
