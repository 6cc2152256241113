// SPDX-License-Identifier: Apache-2.0

// Package chaos kills the daemon at random while pods and containers live, and then looks whether
// anything was lost, repeated, changed or left behind.
//
// Workers do to the daemon what a kubelet and clients of containerd's API do, each with pods and
// containers of its own, while the test kills the daemon every 0.1 to 2 seconds and starts it again.
// What a call has done that died with the daemon the worker finds out as a kubelet would. Programs print
// text of which every byte is known and keep a page that tells how much they have written
// (test/payload/talk), so a worker knows what must be in a log and with which status a program has
// ended, whatever happened meanwhile.
//
//	SARDINE_CHAOS_SEED=N     repeats the decisions of a run, though not its timing
//	SARDINE_CHAOS_TIME=40s   for how long the daemon is killed, in each round
//	SARDINE_CHAOS_ROUNDS=1   each on a node of its own, with the next seed
//	SARDINE_CHAOS_WORKERS=6  how many pods or containers live at the same time
//	SARDINE_CHAOS_WITHOUT=   what is left out, by commas: see settings
//	SARDINE_CHAOS_KEEP=DIR   where what is needed to understand a failure is kept
package chaos
