// SPDX-License-Identifier: Apache-2.0

package holder

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/kernel"
)

func TestParse(t *testing.T) {
	for datagram, want := range map[string]Message{
		"FDSTORE=1\nFDPOLL=0\nFDNAME=log/x":             {Store, "log/x"},
		"FDNAME=a\nFDSTORE=1\n":                         {Store, "a"},
		"READY=1\nFDSTORE=1\nFDNAME=a\nX_LATER=1":       {Store, "a"},
		"FDSTOREREMOVE=1\nFDNAME=a":                     {Remove, "a"},
		"X_SARDINE_LIST=1":                              {Order: List},
		"X_SARDINE_LIST=1\nFDNAME=ignored":              {Order: List},
		"FDSTORE=1\nFDNAME=" + strings.Repeat("x", 255): {Store, strings.Repeat("x", 255)},
		"":                           {},
		"READY=1":                    {},
		"FDSTORE=2\nFDNAME=a":        {},
		"FDSTORE=1":                  {},
		"FDSTORE=1\nFDNAME=":         {},
		"FDSTORE=1\nFDNAME=a:b":      {},
		"FDSTORE=1\nFDNAME=a\x00b":   {},
		"FDSTORE=1\nFDNAME=\xc3\xa4": {},
		"FDSTORE=1\nFDNAME=" + strings.Repeat("x", 256):   {},
		"FDSTORE=1\nFDSTOREREMOVE=1\nFDNAME=a":            {},
		"FDSTORE=1\nFDSTORE=1\nFDNAME=a":                  {},
		"X_SARDINE_LIST=1\nFDSTOREREMOVE=1\nFDNAME=a":     {},
		"X_SARDINE_LIST=1 \nFDSTORE=1 \nFDNAME=trailing ": {},
	} {
		got, err := Parse([]byte(datagram))
		if got != want || (err == nil) != (want != Message{}) {
			t.Errorf("%q is %+v, %v; want %+v", datagram, got, err, want)
		}
	}
}

func TestReply(t *testing.T) {
	for _, want := range []Reply{
		{Version: 1, PID: 42, Max: 1000},
		{Names: []string{"a", strings.Repeat("x", MaxName)}},
		{Names: slices.Repeat([]string{strings.Repeat("x", MaxName)}, kernel.MaxRights)},
		{Done: true},
	} {
		packet := want.Encode()
		if len(packet) > MaxReply {
			t.Errorf("%d bytes, at most %d are read", len(packet), MaxReply)
		}
		got, err := ParseReply(packet)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%q is %+v, %v; want %+v", packet, got, err, want)
		}
	}
	for _, packet := range []string{
		"FDNAME=", "FDNAME=a:b", "FDMAX=many", "FDMAX=-1", "X_SARDINE_HOLDER=99999999999999999999",
		strings.Repeat("FDNAME=a\n", kernel.MaxRights+1),
	} {
		if got, err := ParseReply([]byte(packet)); err == nil {
			t.Errorf("%.40q is %+v", packet, got)
		}
	}
}

func TestCgroupMount(t *testing.T) {
	for line, want := range map[string][2]string{
		"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n":              {"/sys/fs/cgroup/unified", "cgroup2"},
		"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n": {"/sys/fs/cgroup/memory", "cgroup"},
		"35 31 0:32 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n":           {},
		"broken": {},
	} {
		if point, kind := cgroupMount(line); point != want[0] || kind != want[1] {
			t.Errorf("%q is at %q, %q", line, point, kind)
		}
	}
}

// Whatever comes, what is understood of it can be said again.
func FuzzParse(f *testing.F) {
	for _, m := range []Message{{Store, "log/x"}, {Remove, "log/x"}, {Order: List}} {
		f.Add(m.Encode())
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		m, err := Parse(datagram)
		if err != nil {
			return
		}
		if again, err := Parse(m.Encode()); err != nil || again != m {
			t.Errorf("%q is %+v, and that %+v, %v", datagram, m, again, err)
		}
	})
}

func FuzzParseReply(f *testing.F) {
	f.Add((&Reply{Version: 1, PID: 1, Max: 1}).Encode())
	f.Add((&Reply{Names: []string{"a", "b"}, Done: true}).Encode())
	f.Fuzz(func(t *testing.T, packet []byte) {
		r, err := ParseReply(packet)
		if err != nil {
			return
		}
		if again, err := ParseReply(r.Encode()); err != nil || !reflect.DeepEqual(again, r) || len(r.Names) > kernel.MaxRights {
			t.Errorf("%q is %+v, and that %+v, %v", packet, r, again, err)
		}
	})
}
