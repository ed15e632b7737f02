package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	// keyPatience is for how long a key or client counts without another look: another
	// node may have deleted it.
	keyPatience = 5 * time.Second
	// keyGrace is for how long after its last good look one counts while the database
	// can't be asked.
	keyGrace = time.Hour
	// keyWait bounds how long a look holds up who calls with such a key, and keyPause
	// is for how long nobody is held up after a look that came to nothing.
	keyWait  = time.Second
	keyPause = time.Second
)

// credentials has keys, or clients, that were loaded lately.
type credentials[T any] struct {
	what    string                                            // what a look is doing
	look    func(ctx context.Context, name string) (T, error) // pgx.ErrNoRows
	missing error
	id      func(T) string

	byName sync.Map // known[T], by what it is asked for with
	loads  loads[T]

	mu      sync.Mutex // held by who changes byName
	forgets int        // how many times one was deleted here
}

// known is a key or client as it was when it was asked for. It counts without another
// look until then, and with one that can't be had as long as inGrace says.
type known[T any] struct {
	of           T
	asked, until time.Time
}

// counts and inGrace say no, too, after the clock was put back.
func (k known[T]) counts(now time.Time) bool { return !now.Before(k.asked) && now.Before(k.until) }

func (k known[T]) inGrace(now time.Time) bool {
	return !now.Before(k.asked) && now.Before(k.asked.Add(keyGrace))
}

// get returns what is asked for with name. All who ask when it must be looked at again
// share one look. While the database can't be asked, it counts until an hour after it
// was last seen there: metrics are wanted just then. For a database that hangs nobody
// who has such a key waits longer than a second.
func (c *credentials[T]) get(ctx context.Context, name string, now func() time.Time) (T, error) {
	began := now()
	of, ok := c.load(name)
	if ok && of.counts(began) {
		return of.of, nil
	}
	patience := readTimeout
	if ok && of.inGrace(began) {
		patience = keyWait
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errSlow)
	defer cancel()
	found, err := c.loads.wait(ctx, c.what, name, func() (T, error) { return c.lookAgain(name, now) })
	if errors.Is(err, riposte.ErrUnavailable) {
		if excused, ok := c.excuse(name, now()); ok {
			return excused, nil
		}
	}
	return found, err
}

func (c *credentials[T]) lookAgain(name string, now func() time.Time) (none T, err error) {
	ctx, cancel := bounded(context.Background())
	defer cancel()
	age, asked := c.age(), now()
	found, err := c.look(ctx, name)
	if notFound(err) {
		c.drop(name)
		return none, c.missing
	}
	if err != nil {
		return none, reading(ctx, c.what, err)
	}
	c.store(name, found, asked, age)
	return found, nil
}

func (c *credentials[T]) load(name string) (known[T], bool) {
	v, ok := c.byName.Load(name)
	if !ok {
		return known[T]{}, false
	}
	return v.(known[T]), true
}

// age tells what is read now from what was read before one was deleted.
func (c *credentials[T]) age() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forgets
}

// store keeps what was asked for at that age, unless it may be deleted since.
func (c *credentials[T]) store(name string, found T, asked time.Time, age int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age == c.forgets {
		c.byName.Store(name, known[T]{found, asked, asked.Add(keyPatience)})
	}
}

// excuse returns what counts after a look that came to nothing, and puts off the next
// one.
func (c *credentials[T]) excuse(name string, now time.Time) (none T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.load(name)
	if !ok || !k.inGrace(now) {
		return none, false
	}
	if !k.counts(now) {
		k.until = now.Add(keyPause)
		c.byName.Store(name, k)
	}
	return k.of, true
}

// drop forgets what is no longer there.
func (c *credentials[T]) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byName.Delete(name)
}

// forget forgets the one of this id, and has looks that are under way forgotten.
func (c *credentials[T]) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	c.byName.Range(func(name, k any) bool {
		if c.id(k.(known[T]).of) == id {
			c.byName.Delete(name)
		}
		return true
	})
}
