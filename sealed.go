package riposte

// Sealed is a secret as it is kept: encrypted, and bound to what it is for. A vault
// makes and opens it.
type Sealed []byte

// String and GoString keep even what is sealed out of logs.
func (s Sealed) String() string   { return "[sealed]" }
func (s Sealed) GoString() string { return s.String() }
