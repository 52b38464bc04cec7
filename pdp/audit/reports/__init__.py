"""What a privacy officer, a regulator or an auditor asks for again and again."""
