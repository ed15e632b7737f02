package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"
)

// TestPromotionLosesNothing: a primary loses its synchronous standby and dies, the
// standby becomes the primary; and back, once the old one has been made a standby
// of it.
func TestPromotionLosesNothing(t *testing.T) {
	t.Parallel()
	primary, standby := newOwnPostgres(t), newPostgresDir(t)
	standby.follow(primary)
	url := fmt.Sprintf("postgres://app@%s,%s/app?sslmode=disable&target_session_attrs=read-write", primary.address(), standby.address())
	c := newCluster(t, url, 2)
	l := newClusterLoad(t, c)
	l.begin()
	for range times(2, 4) {
		l.busy(c.nodes[0])
		over, before := c.outage(), l.refused.Load()
		standby.lose(primary)
		time.Sleep(rand.N(10 * time.Second))
		primary.stopAtOnce()
		eventually(t, "calls are refused", func() bool { return l.refused.Load() > before })
		standby.promote()
		c.wantReadiness(http.StatusOK)
		over()
		primary, standby = standby, primary
		standby.follow(primary)
		l.logf("a standby was promoted and has a standby again")
	}
	l.finish()
	l.balance()
}
