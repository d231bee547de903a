@echo off
rem Written by "openclaw gateway install" because no Scheduled Task could be made. "openclaw gateway uninstall" removes it.
start "" /min conhost.exe --headless "@SCRIPT@"
