"""Where rows come from, and how they are divided and scaled."""
