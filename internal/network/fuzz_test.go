// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/types/create"
)

// What was read from a file means the same when it is read from a record.
func FuzzConfiguration(f *testing.F) {
	for _, text := range []string{
		"", "null", "{}", `{"name":"a","type":"b"}`,
		`{"cniVersion":"1.1.0","cniVersions":["1.0.0","0.4.0"],"name":"a","plugins":[{"type":"b","ipam":{"type":"c"}}]}`,
		`{"name":"a","disableCheck":"true","disableGC":true,"loadOnlyInlinedPlugins":false,"plugins":[{"type":"b"}]}`,
		`{"name":"a","plugins":[null,{"type":"../b"}]}`, `{"cniVersion":"x","name":"..","plugins":{}}`,
		`{"name":"plugins","cniVersion":"1.0.0"}`,
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, list bool) {
		dir := t.TempDir()
		path := filepath.Join(dir, "1.conf")
		if list {
			path += "list"
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		read, err := loadFile(path)
		if err != nil {
			return
		}
		again, err := parseList(read.Bytes)
		if err != nil {
			t.Fatalf("%s: %v", read.Bytes, err)
		}
		if !reflect.DeepEqual(again, read) {
			t.Errorf("%+v became %+v", read, again)
		}
		r := record{ID: "x", Networks: []recordedNetwork{{Interface: "eth0", Config: read.Bytes}}}
		recorded, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseRecord(recorded); err != nil {
			t.Errorf("%s: %v", recorded, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	const network = `{"interface":"eth0","config":{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"b"}]}}`
	for _, text := range []string{
		"", "null", `{"id":"x"}`, `{"id":"x","networks":[` + network + `]}`,
		`{"id":"x","args":[["a","b"]],"capabilities":{"dns":{"servers":["1.1.1.1"]},"x":null},"networks":[` + network + "," + network + `]}`,
		`{"id":"../x","networks":[` + network + `]}`, `{"id":"x","networks":[null]}`, `{"id":"x","networks":[{"interface":"eth0","config":1}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRecord(text)
		if err != nil {
			return
		}
		if networks, err := r.networks(); err != nil || len(networks) == 0 {
			t.Fatalf("accepted without usable networks: %v", err)
		}
		if conf := r.runtimeConf("eth0", ""); conf.ContainerID != r.ID || len(conf.CapabilityArgs) != len(r.Capabilities) {
			t.Errorf("runtime configuration %+v of %s", conf, text)
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseRecord(again); err != nil {
			t.Errorf("%s: %v", again, err)
		}
	})
}

func FuzzResult(f *testing.F) {
	for _, text := range []string{
		"{}", `{"cniVersion":"1.0.0","interfaces":[{"name":"eth0"},{"name":"eth0"}],"ips":[{"address":"10.0.0.1/8","interface":1}]}`,
		`{"cniVersion":"1.0.0","ips":[null,{"address":"::1/64","interface":-1}],"interfaces":[null]}`,
		`{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.1/8"},"ip6":{}}`, `{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.0.0.1/8"}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if refuseNulls(text) != nil {
			return
		}
		result, err := create.CreateFromBytes(text)
		if err != nil {
			return
		}
		for _, preference := range []string{preferIPv4, preferIPv6, preferCNI} {
			r, err := merge([]types.Result{result}, preference)
			if err == nil && (r.IP == "" || !json.Valid(r.Raw)) {
				t.Errorf("%s: %+v", text, r)
			}
		}
	})
}

func FuzzPodCIDR(f *testing.F) {
	for _, text := range []string{"", "10.0.0.0/8", "10.0.0.0/8, fd00::/8", ",", "::ffff:10.0.0.0/104", "fe80::%eth0/64"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		values, err := valuesOf(text)
		if err == nil && (values.PodCIDR == "" || len(values.Routes) == 0 || len(values.Routes) > 2) {
			t.Errorf("%q: %+v", text, values)
		}
	})
}

func FuzzPluginError(f *testing.F) {
	f.Add([]byte(`{"code":11,"msg":"later"}`), []byte(""))
	f.Add([]byte("not JSON"), []byte("\xff"))
	f.Fuzz(func(t *testing.T, stdout, stderr []byte) {
		if err := pluginError(errors.New("exit status 1"), stdout, stderr); err.Error() == "" {
			t.Error("an error without a message")
		}
	})
}
