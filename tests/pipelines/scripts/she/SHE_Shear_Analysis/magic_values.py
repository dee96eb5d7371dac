ERun_CTE = "E-Run SHE_CTE 9.1 "
ERun_MER = "E-Run SHE_MER 9.1 "
