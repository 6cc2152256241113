// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// FuzzConfig reads configurations. What is accepted has ranges that make sense.
func FuzzConfig(f *testing.F) {
	for _, v := range variants {
		f.Add(strings.ReplaceAll(v.conf("1.0.0"), "DIR", "/tmp"), v.args)
	}
	f.Add(`{"name":"net","ipam":{"subnet":"10.1.2.0/24","routes":[null]},"args":{"cni":{"ips":[null]}},"runtimeConfig":{"ips":[null]}}`, "")
	f.Fuzz(func(t *testing.T, text, args string) {
		c := &cniplugin.Call{ContainerID: "a", IfName: "eth0", Config: []byte(text), Args: args}
		conf, err := load(c)
		if err != nil {
			return
		}
		if len(conf.sets) == 0 || !filepath.IsAbs(conf.path) || filepath.Clean(conf.path) != conf.path {
			t.Fatalf("%+v", conf)
		}
		for _, set := range conf.sets {
			for _, r := range set {
				free, ok := span{r.first, r.last, &r}.firstFree(addresses{})
				if ok && (!r.contains(free) || !r.subnet.Contains(free.IP()) || free == r.gateway) {
					t.Errorf("%s of %s", free, &r)
				}
			}
			for _, s := range set.after(set[0].last) {
				if s.first.compare(s.last) > 0 || !s.in.contains(s.first) || !s.in.contains(s.last) {
					t.Errorf("span from %s to %s in %s", s.first, s.last, s.in)
				}
			}
		}
	})
}

// FuzzLease has any content in a lease and in the last reserved address.
func FuzzLease(f *testing.F) {
	f.Add([]byte("a\r\neth0"), []byte("10.1.2.2"), "a")
	f.Add([]byte(" a \r\neth0\n"), []byte("2001:db8::1"), "a")
	f.Add([]byte("a"), []byte(""), "a")
	f.Add([]byte{}, []byte{0xff}, "b")
	f.Fuzz(func(t *testing.T, lease, last []byte, id string) {
		who, err := holder(&cniplugin.Call{ContainerID: id, IfName: "eth0"})
		if err != nil || who.id != id {
			return // no name of a container
		}
		r := inside(t.TempDir(), New())
		if err := os.Mkdir(r.network(), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(r.network(), "10.1.2.3"), string(lease))
		write(t, filepath.Join(r.network(), "last_reserved_ip.0"), string(last))
		content := strings.TrimSpace(string(lease))
		theirs := len(lease) <= maxContent && (content == who.content() || content == who.id)
		_, err = r.run(t, call{verb: "ADD", id: id, conf: simple("10.1.2.0/29")})
		if (err != nil) != theirs {
			t.Fatalf("ADD for %q beside %q: %v", id, lease, err)
		}
		del(t, r, id, simple("10.1.2.0/29"))
		if _, err := os.Stat(filepath.Join(r.network(), "10.1.2.3")); (err != nil) != theirs {
			t.Fatalf("DEL for %q beside %q: %v", id, lease, err)
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add([]byte(resolv))
	f.Fuzz(func(t *testing.T, text []byte) {
		dns, err := parseResolvConf(text)
		if err != nil {
			return
		}
		for _, word := range append(append(append(dns.Nameservers, dns.Search...), dns.Options...), dns.Domain) {
			if utf8.Valid(text) && len(strings.Fields(word)) != 1 && (word != "" || dns.Domain != "") {
				t.Errorf("%q", word)
			}
		}
	})
}
