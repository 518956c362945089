"""The shape table: what a network computes at each layer, and what that costs; and its printed forms."""
