@echo off
rem Written by "openclaw gateway install", which also replaces it.
rem Starts the gateway again when it fails: the scheduler would wait a minute and give up after a while.
chcp 65001 >nul
setlocal disableDelayedExpansion
@ENVIRONMENT@
:again
@COMMAND@
rem 0: it was told to stop. 2 and 78: the command line or the configuration is wrong; trying again does not help.
if %errorlevel% equ 0 exit /b 0
if %errorlevel% equ 2 exit /b 2
if %errorlevel% equ 78 exit /b 78
rem "timeout" needs a console to read from; this waits five seconds without one.
ping -n 6 127.0.0.1 >nul
goto again
