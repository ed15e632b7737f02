package feed

// Known is how many names of consumers f has something for.
func (f *Feed) Known() (n int) {
	f.consumers.Range(func(any, any) bool { n++; return true })
	return n
}
