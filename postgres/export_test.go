package postgres

// SearchAtMost lowers how many rows a list or a count looks at.
func (s *Store) SearchAtMost(rows int) { s.maxSearched, s.maxCounted = rows, rows }
