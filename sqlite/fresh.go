package sqlite

import "github.com/riposte-dev/riposte"

const (
	maxFresh         = 1024
	maxFreshEnvelope = 16 << 10 // bytes; larger ones are read again
)

// fresh remembers new instances as they were stored, by their numbers, until
// they change: a claim soon after the creation needn't read them. It belongs to
// the writer's goroutine.
type fresh map[int64]riposte.NewInstanceRecord

// add is for an instance that waits. A full memory begins anew: those in it
// that are still due were not so urgent.
func (f fresh) add(number int64, r riposte.NewInstanceRecord) {
	if len(r.Envelope.Body) > maxFreshEnvelope {
		return
	}
	if len(f) >= maxFresh {
		clear(f)
	}
	f[number] = r
}
