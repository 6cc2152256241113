// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"math/rand/v2"
	"net"
	"testing"
)

func parse(t testing.TB, text string) address {
	t.Helper()
	a, ok := parseAddress(text)
	if !ok {
		t.Fatalf("%q is not the name of an address", text)
	}
	return a
}

func TestOnlyOneSpelling(t *testing.T) {
	for _, name := range []string{"", ".", "lock", "last_reserved_ip.0", "10.1.2", "010.1.2.3", "10.1.2.3 ", "10.1.2.3/24", "::ffff:10.1.2.3", "2001:DB8::1", "2001:db8:0::1", "fe80::1%eth0"} {
		if a, ok := parseAddress(name); ok {
			t.Errorf("%q is %s", name, a)
		}
	}
	for _, name := range []string{"0.0.0.0", "10.1.2.3", "255.255.255.255", "::", "::1", "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"} {
		if a := parse(t, name); a.String() != name || a.IP().String() != name {
			t.Errorf("%q is %s, %s", name, a, a.IP())
		}
	}
}

// TestFirstFree compares with looking at each address.
func TestFirstFree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		set, base := addresses{}, parse(t, "10.1.0.0")
		at := func(i int) address { a := base; a[14], a[15] = byte(i>>8), byte(i); return a }
		density := random.Float64() * 1.01
		for i := range 1024 {
			if random.Float64() < density {
				set.add(at(i))
			}
			if random.Float64() < 0.02 {
				set.remove(at(random.IntN(1024)))
			}
		}
		first := random.IntN(1024)
		last := first + random.IntN(1024-first)
		want := first
		for want <= last && set.has(at(want)) {
			want++
		}
		got, ok := set.firstFree(at(first), at(last))
		if ok != (want <= last) || ok && got != at(want) {
			t.Fatalf("from %d to %d: %s %v, want %s", first, last, got, ok, at(want))
		}
	}
}

func TestFirstFreeEnds(t *testing.T) {
	end := parse(t, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	set := addresses{}
	set.add(end)
	if got, ok := set.firstFree(end, end); ok {
		t.Errorf("got %s", got)
	}
	set.remove(end)
	if len(set) != 0 {
		t.Errorf("left: %v", set)
	}
	if got, ok := set.firstFree(end, end); !ok || got != end {
		t.Errorf("got %s, %v", got, ok)
	}
}

func FuzzAddressName(f *testing.F) {
	for _, name := range []string{"10.1.2.3", "2001:db8::1", "::ffff:1.2.3.4", "64:ff9b::1.2.3.4", "1:0:0:2:0:0:0:3"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		ip := net.ParseIP(name)
		a, ok := parseAddress(name)
		if want := ip != nil && ip.String() == name; ok != want {
			t.Errorf("%q: %v, want %v", name, ok, want)
		}
		if ok && (a.String() != name || fromIP(ip) != a || a.is4() != (ip.To4() != nil)) {
			t.Errorf("%q is %s", name, a)
		}
	})
}
