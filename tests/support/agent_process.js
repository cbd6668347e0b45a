// A coding agent of Node for tests, as agent_process.py is one: a JSON object a line, answered with the exit code.
// {"prompt": EVENT, "command": LINE} hands EVENT to LINE as Node does; {"off": true} takes the handler of SIGUSR1 off.
const { spawn } = require("child_process");
const { createInterface } = require("readline");

createInterface({ input: process.stdin }).on("line", (line) => {
  const asked = JSON.parse(line);
  if (asked.off) {
    process.on("SIGUSR1", () => {});
    process.removeAllListeners("SIGUSR1");
    console.log("0");
    return;
  }
  const hook = spawn(asked.command, { shell: true, stdio: ["pipe", "ignore", "inherit"] });
  hook.on("exit", (code) => console.log(String(code)));
  hook.stdin.end(asked.prompt);
});
