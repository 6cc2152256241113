// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

func FuzzParse(f *testing.F) {
	for _, c := range configurations {
		f.Add([]byte(call(c.config, "/d", "").Config), c.args)
	}
	f.Add([]byte(`{"sysctl":null}`), "")
	f.Fuzz(func(t *testing.T, config []byte, args string) {
		conf, err := parse(&cniplugin.Call{Config: config, Args: args, ContainerID: "c", IfName: "eth0"})
		if err != nil {
			return
		}
		keys, err := sysctlPaths(conf.Sysctl, "eth0")
		for _, k := range keys {
			if err != nil || k.path == "" || strings.HasPrefix(k.path, "/") || strings.Contains("/"+k.path+"/", "/../") {
				t.Fatalf("path %q of %v", k.path, conf.Sysctl)
			}
		}
		_ = conf.parsePrevious()
	})
}

func FuzzSaved(f *testing.F) {
	f.Add([]byte(`{"mac":"02:00:00:00:00:01","promisc":true,"mtu":1500,"allmulti":false,"txQLen":0}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if a, err := decode(text); err != nil && a.any() {
			t.Fatalf("%v and %v", a, err)
		}
	})
}
