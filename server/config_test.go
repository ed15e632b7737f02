package server

import (
	"net"
	"strings"
	"testing"
)

func TestConsoleHostsAreHosts(t *testing.T) {
	check := func(hosts string) error {
		c := Default()
		c.ConsoleHosts = hosts
		_, err := c.check(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080})
		return err
	}
	for _, hosts := range []string{"", "ops.internal", "ops.internal:8443, Console.internal,ops_2.internal.", "192.0.2.7:80 ::1 [::1]:80"} {
		if err := check(hosts); err != nil {
			t.Errorf("%q: %v", hosts, err)
		}
	}
	for _, host := range []string{"https://ops.internal", "ops.internal/console", "*.internal", "ops.internal:https", "ann@ops.internal", "zürich.internal", ":8443", "[::1"} {
		err := check("fine.internal, " + host)
		if err == nil || !strings.Contains(err.Error(), "--console-hosts") || !strings.Contains(err.Error(), host) {
			t.Errorf("%q: %v", host, err)
		}
	}
}
