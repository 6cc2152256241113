// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"path"
	"slices"
	"strings"
)

// arguments merges the command with the image's. A command of the request replaces both
// entry point and arguments of the image; arguments alone only the image's.
func (t *translation) arguments() error {
	command, args := t.config.GetCommand(), t.config.GetArgs()
	if len(command) == 0 {
		if len(args) == 0 {
			args = t.image.Cmd
		}
		// A single empty string is how a Dockerfile takes back an inherited entry point.
		if !slices.Equal(t.image.Entrypoint, []string{""}) {
			command = t.image.Entrypoint
		}
	}
	all := slices.Concat(command, args)
	if len(all) == 0 {
		return invalid("command: no command specified: neither the request nor the image has one")
	}
	if all[0] == "" {
		return invalid("command: the name of the program is empty")
	}
	for _, a := range all {
		if err := checkText("command and args", a, maxArgument); err != nil {
			return err
		}
	}
	t.spec.Process.Args, t.spec.Process.CommandLine = all, ""
	t.spec.Process.Terminal = t.spec.Process.Terminal || t.config.GetTty()
	return nil
}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment puts the runtime's variables first, then the image's, then the request's;
// a later value replaces an earlier one in its place. Nothing is expanded.
func (t *translation) environment() error {
	hostname := t.c.Pod.Config.GetHostname()
	if hostname == "" {
		var err error
		if hostname, err = t.host.Hostname(); err != nil {
			return unready("the node's hostname: %v", err)
		}
	}
	e := newEnvironment(t.spec.Process.Env, len(t.image.Env)+len(t.config.GetEnvs())+3)
	e.set(defaultPath)
	if t.config.GetTty() {
		e.set("TERM=xterm")
	}
	e.set("HOSTNAME=" + hostname)
	for _, v := range t.image.Env {
		if err := checkText("the image's environment", v, maxArgument); err != nil {
			return err
		}
		e.set(v)
	}
	for _, kv := range t.config.GetEnvs() {
		v := kv.GetKey() + "=" + string(kv.GetValue())
		if err := checkVariable(kv.GetKey(), v); err != nil {
			return err
		}
		e.set(v)
	}
	t.spec.Process.Env = e.list()
	return nil
}

func checkVariable(key, variable string) error {
	if key == "" {
		return invalid("envs: a key is empty")
	}
	if strings.Contains(key, "=") {
		return invalid("envs: key %s contains \"=\"", quoted(key))
	}
	return checkText("envs: "+quoted(key), variable, maxArgument)
}

// environment is a list of NAME=value where each name occurs once.
type environment struct {
	values []string
	index  map[string]int
}

func newEnvironment(base []string, more int) *environment {
	e := &environment{make([]string, 0, len(base)+more), make(map[string]int, len(base)+more)}
	for _, v := range base {
		e.set(v)
	}
	return e
}

// set takes NAME=value, or NAME alone to remove a variable. One without a name is left
// out: no program can read it.
func (e *environment) set(variable string) {
	name, _, given := strings.Cut(variable, "=")
	i, ok := e.index[name]
	switch {
	case name == "":
	case !given:
		if ok {
			e.values[i] = ""
			delete(e.index, name)
		}
	case ok:
		e.values[i] = variable
	default:
		e.index[name] = len(e.values)
		e.values = append(e.values, variable)
	}
}

func (e *environment) list() []string {
	return slices.DeleteFunc(e.values, func(v string) bool { return v == "" })
}

func (t *translation) workingDirectory() error {
	cwd, field := t.config.GetWorkingDir(), "working_dir"
	if cwd == "" {
		cwd, field = t.image.WorkingDir, "the image's working directory"
	}
	if cwd == "" {
		if t.spec.Process.Cwd == "" {
			t.spec.Process.Cwd = "/"
		}
		return nil
	}
	if err := checkLine(field, cwd, maxPath); err != nil {
		return err
	}
	if !path.IsAbs(cwd) {
		return invalid("%s: %s is not an absolute path", field, quoted(cwd))
	}
	t.spec.Process.Cwd = cwd
	return nil
}
