"""HTTP: one module per noun; schemas come from the contracts, who may call stands in each route's parameters."""
