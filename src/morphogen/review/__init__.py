"""Blind studies with experts: designing and sealing, serving, answers, and what they say."""
