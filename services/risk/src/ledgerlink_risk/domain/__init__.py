"""Risk's law: the rule language, the policy, and the verdict. Pure functions over values."""
