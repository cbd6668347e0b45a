package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// Exit codes, as those of `pdp decide`: 0 allowed and carried out, 10 not allowed, 11 pending, 2 usage.
func main() {
	target := flag.String("target", "unix:/run/pdp/pdp.sock", "the decision point")
	server := flag.String("server", "", "the MCP server's id in the registry")
	tool := flag.String("tool", "", "the tool's name")
	arguments := flag.String("arguments", "{}", "the tool's arguments, a JSON object")
	timeout := flag.Duration("timeout", 2*time.Second, "of the question")
	flag.Parse()
	if *server == "" || *tool == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: guard -server S -tool T [-arguments JSON] COMMAND [ARGUMENT ...]")
		os.Exit(2)
	}
	guard, done, err := Dial(*target, os.Getenv("PDP_CALLER_TOKEN"), *timeout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	defer done() //nolint:errcheck // the process ends
	call := Call{rand.Text(), *server, *tool, []byte(*arguments), os.Getenv("PDP_SUBJECT_TOKEN")}
	if err := guard.Allowed(context.Background(), call); err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.As(err, &Pending{}) {
			os.Exit(11)
		}
		os.Exit(10)
	}
	command := exec.Command(flag.Arg(0), flag.Args()[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
