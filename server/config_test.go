package server

import (
	"net"
	"strings"
	"testing"
)

func TestDeniedDestinationsAreRefusedWhereTheyAreAllowed(t *testing.T) {
	check := func(deny string) (string, error) {
		c := Default()
		c.AllowDestinations, c.DenyDestinations = "10.0.0.0/8", deny
		d, err := c.check(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080})
		if err != nil {
			return "", err
		}
		return d.Check("https://10.1.2.3/")
	}
	if host, err := check(""); host != "10.1.2.3" {
		t.Errorf("an allowed address has the host %q: %v", host, err)
	}
	if host, err := check("10.1.0.0/16"); err == nil {
		t.Errorf("a denied address has the host %q", host)
	}
	if _, err := check("10.1.0.0/99"); err == nil || !strings.Contains(err.Error(), "--deny-destinations") {
		t.Errorf("a list that can't be read: %v", err)
	}
}

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
