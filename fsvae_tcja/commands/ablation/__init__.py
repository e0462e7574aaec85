"""A study: settings x seeds on one budget, as processes that share out the work, and one table."""
