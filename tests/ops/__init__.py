"""Files for the deployment of Spendgate are complete and work with the programs that read them."""
