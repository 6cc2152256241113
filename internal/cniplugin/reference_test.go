// SPDX-License-Identifier: Apache-2.0

package cniplugin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/cniplugin/loopback"
	"github.com/sardine-run/sardine/internal/testnode"
)

// program is the path of the reference plugin loopback, built when nobody has yet.
var program = sync.OnceValues(func() (string, error) {
	built, err := filepath.Abs("../../bin/tools/loopback")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(built); err == nil {
		return built, nil
	}
	dir, err := os.MkdirTemp("", "cni-loopback-*")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-C", "../../bench/tools", "-o", dir, "github.com/containernetworking/plugins/plugins/main/loopback")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("%w: %s", err, out), os.RemoveAll(dir))
	}
	return dir + "/loopback", nil
})

// refusals are calls that never reach a verb, or whose verb does nothing.
var refusals = []struct{ name, environ, config string }{
	{"nothing", "CNI_COMMAND=ADD", ""},
	{"no container", "CNI_COMMAND=ADD CNI_NETNS=/n CNI_IFNAME=eth0 CNI_PATH=/p", "{}"},
	{"bad container", "CNI_COMMAND=ADD CNI_CONTAINERID=/a CNI_NETNS=/n CNI_IFNAME=eth0 CNI_PATH=/p", "{}"},
	{"bad container and nothing else", "CNI_COMMAND=CHECK CNI_CONTAINERID=/a", "{}"},
	{"bad interface", "CNI_COMMAND=DEL CNI_CONTAINERID=a CNI_IFNAME=a/b CNI_PATH=/p", "{}"},
	{"long interface", "CNI_COMMAND=ADD CNI_CONTAINERID=a CNI_NETNS=/n CNI_IFNAME=abcdefghijklmnop CNI_PATH=/p", "{}"},
	{"interface ..", "CNI_COMMAND=ADD CNI_CONTAINERID=a CNI_NETNS=/n CNI_IFNAME=.. CNI_PATH=/p", "{}"},
	{"no path", "CNI_COMMAND=STATUS", "{}"},
	{"no path at GC", "CNI_COMMAND=GC CNI_CONTAINERID=/a", "{}"},
	{"unknown verb", "CNI_COMMAND=JUMP", `{"name":"net","cniVersion":"1.0.0"}`},
	{"unknown verb without configuration", "CNI_COMMAND=JUMP", ``},
	{"no configuration", attached("ADD"), ``},
	{"no JSON", attached("ADD"), `{`},
	{"JSON null", attached("ADD"), `null`},
	{"JSON list", attached("ADD"), `[]`},
	{"no name", attached("ADD"), `{"cniVersion":"1.0.0"}`},
	{"bad name", attached("ADD"), `{"name":"a/b","cniVersion":"1.0.0"}`},
	{"number as name", attached("ADD"), `{"name":7,"cniVersion":"1.0.0"}`},
	{"number as version", attached("ADD"), `{"name":"net","cniVersion":7}`},
	{"number as version and bad name", attached("ADD"), `{"name":"../x","cniVersion":7}`},
	{"unknown version", attached("ADD"), `{"name":"net","cniVersion":"9.9.9"}`},
	{"unknown version at DEL", attached("DEL"), `{"name":"net","cniVersion":"x"}`},
	{"version without CHECK", attached("CHECK"), `{"name":"net","cniVersion":"0.3.1"}`},
	{"no version at CHECK", attached("CHECK"), `{"name":"net"}`},
	{"nonsense as version at CHECK", attached("CHECK"), `{"name":"net","cniVersion":"a.b.c"}`},
	{"later version at CHECK", attached("CHECK"), `{"name":"net","cniVersion":"1.2.0"}`},
	{"version between at CHECK", attached("CHECK"), `{"name":"net","cniVersion":"0.5.0"}`},
	{"version without STATUS", "CNI_COMMAND=STATUS CNI_PATH=/p", `{"name":"net","cniVersion":"1.0.0"}`},
	{"nonsense as version at STATUS", "CNI_COMMAND=STATUS CNI_PATH=/p", `{"name":"net","cniVersion":"1.1.0.0"}`},
	{"STATUS", "CNI_COMMAND=STATUS CNI_PATH=/p", `{"name":"net","cniVersion":"1.1.0"}`},
	{"version without GC", "CNI_COMMAND=GC CNI_PATH=/p", `{"name":"net","cniVersion":"0.4.0"}`},
	{"GC", "CNI_COMMAND=GC CNI_PATH=/p", `{"name":"net","cniVersion":"1.1.0"}`},
	{"DEL without namespace", "CNI_COMMAND=DEL CNI_CONTAINERID=a CNI_IFNAME=lo CNI_PATH=/p", `{"name":"net","cniVersion":"1.1.0"}`},
	{"VERSION", "CNI_COMMAND=VERSION CNI_NETNS=dummy CNI_IFNAME=dummy CNI_PATH=dummy", `{"cniVersion":"1.1.0"}`},
	{"the host's namespace", "CNI_NETNS=/proc/self/ns/net CNI_COMMAND=ADD CNI_CONTAINERID=a CNI_IFNAME=lo CNI_PATH=/p", `{"name":"net","cniVersion":"1.0.0"}`},
	{"the host's namespace at DEL", "CNI_NETNS=/proc/self/ns/net CNI_COMMAND=DEL CNI_CONTAINERID=a CNI_IFNAME=lo CNI_PATH=/p", `{"name":"net","cniVersion":"1.0.0"}`},
}

func attached(verb string) string {
	return "CNI_COMMAND=" + verb + " CNI_CONTAINERID=a CNI_NETNS=/missing CNI_IFNAME=eth0 CNI_PATH=/p"
}

// TestRefusesAsTheReference compares what is said with what the program says.
func TestRefusesAsTheReference(t *testing.T) {
	testnode.NeedRoot(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	set := cniplugin.NewSet(map[string]cniplugin.Plugin{"loopback": loopback.New()}, nil)
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			environ := strings.Fields(test.environ)
			cmd := exec.Command(path)
			cmd.Env, cmd.Stdin = environ, strings.NewReader(test.config)
			want, failed := cmd.Output()
			inside, err := set.FindInPath("loopback", nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := set.ExecPlugin(t.Context(), inside, []byte(test.config), environ)
			if (err != nil) != (failed != nil) {
				t.Fatalf("error %v, the program's: %v %s", err, failed, want)
			}
			if err != nil {
				got = printed(t, err)
			}
			if a, b := compact(t, got), compact(t, want); !sameAnswer(a, b) {
				t.Errorf("got  %s\nwant %s", a, b)
			}
		})
	}
}

// sameAnswer ignores what a result says of the namespace of the host, which the program prints before it refuses it.
func sameAnswer(got, want string) bool {
	return got == want || strings.HasSuffix(want, got) && strings.Contains(got, `"code"`)
}

// printed is what a program would write for err.
func printed(t *testing.T, err error) []byte {
	t.Helper()
	e, ok := err.(*types.Error) //nolint:errorlint // nothing may be around it
	if !ok {
		t.Fatalf("error of type %T: %v", err, err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// compact writes each JSON value of a program's output in one form.
func compact(t *testing.T, text []byte) string {
	t.Helper()
	var out bytes.Buffer
	for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
		var v map[string]any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(line)
	}
	return out.String()
}
