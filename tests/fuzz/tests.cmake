#Fuzz targets, one line each.Seeds are files or folders below the evidence folder or tests / data.
