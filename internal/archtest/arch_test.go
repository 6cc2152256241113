// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/sardine-run/sardine/"
	top    = "../.."
)

// layers reads the first table of ARCHITECTURE.md: the packages of each row, from the
// top layer down.
func layers(t *testing.T) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	name := regexp.MustCompile("`((?:cmd|internal)/[a-z0-9/-]+)`")
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| `") {
			if rows != nil {
				break
			}
			continue
		}
		var row []string
		for _, m := range name.FindAllStringSubmatch(strings.SplitN(line, "|", 3)[1], -1) {
			row = append(row, m[1])
		}
		rows = append(rows, row)
	}
	if len(rows) < 10 {
		t.Fatalf("found %d layers in ARCHITECTURE.md", len(rows))
	}
	return rows
}

// sources calls visit for every directory of Go code with its parsed files.
func sources(t *testing.T, visit func(dir string, files map[string]*source)) {
	t.Helper()
	dirs := map[string]map[string]*source{}
	for _, root := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(top, root), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
			if err != nil {
				return err
			}
			dir, err := filepath.Rel(top, filepath.Dir(path))
			if err != nil {
				return err
			}
			if dirs[dir] == nil {
				dirs[dir] = map[string]*source{}
			}
			s := &source{pkg: f.Name.Name, comment: f.Doc.Text()}
			for _, i := range f.Imports {
				s.imports = append(s.imports, strings.Trim(i.Path.Value, `"`))
			}
			dirs[dir][filepath.Base(path)] = s
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for dir, files := range dirs {
		visit(dir, files)
	}
}

type source struct {
	pkg, comment string
	imports      []string
}

func TestImportsGoDown(t *testing.T) {
	depth := map[string]int{}
	for i, row := range layers(t) {
		for _, pkg := range row {
			depth[pkg] = i
		}
	}
	sources(t, func(dir string, files map[string]*source) {
		mine, layered := depth[dir]
		for name, f := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, i := range f.imports {
				pkg, ours := strings.CutPrefix(i, module)
				theirs, known := depth[pkg]
				if ours && layered && !known && !strings.HasPrefix(dir, "cmd/") && !strings.HasPrefix(pkg, dir+"/") {
					t.Errorf("%s/%s imports %s, which is not in the layers of ARCHITECTURE.md", dir, name, pkg)
				}
				if ours && layered && known && theirs <= mine {
					t.Errorf("%s/%s imports %s, which is not below it in ARCHITECTURE.md", dir, name, pkg)
				}
			}
		}
	})
}

// below are the layers that must not know who uses them.
var below = []string{
	"internal/launch", "internal/setup", "internal/plan", "internal/exits", "internal/stdio",
	"internal/cgroup", "internal/rootfs", "internal/kernel", "internal/fault",
}

func TestLowLayersKnowNothingOfContainerd(t *testing.T) {
	banned := regexp.MustCompile(`^(github.com/containerd/containerd|k8s.io)/`)
	sources(t, func(dir string, files map[string]*source) {
		if !slices.Contains(below, dir) {
			return
		}
		for name, f := range files {
			for _, i := range f.imports {
				if banned.MatchString(i) {
					t.Errorf("%s/%s imports %s", dir, name, i)
				}
			}
		}
	})
}

func TestEachPackageHasOneComment(t *testing.T) {
	sources(t, func(dir string, files map[string]*source) {
		if strings.Contains(dir, "testdata") {
			return
		}
		var found []string
		code := false
		for name, f := range files {
			test := strings.HasSuffix(name, "_test.go")
			code = code || !test
			if !test && (strings.HasPrefix(f.comment, "Package "+f.pkg) || strings.HasPrefix(f.comment, "Command ")) {
				found = append(found, name)
			}
		}
		if code && len(found) != 1 {
			t.Errorf("%s: %d package comments in %v, want one", dir, len(found), found)
		}
	})
}

// Everything that sardine-init links is paid by each container's start.
func TestInitStaysSmall(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "./cmd/sardine-init")
	list.Dir = top
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range strings.Fields(string(out)) {
		if slices.Contains([]string{"net", "encoding/json", "os/exec", "runtime/cgo", "log", "regexp"}, pkg) {
			t.Errorf("sardine-init links %s", pkg)
		}
	}
}
