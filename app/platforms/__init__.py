"""Ad platforms: reads spend from them, carries decisions out on them and confirms these."""
