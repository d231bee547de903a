# Puts openclaw.exe from the unpacked archive into the user's programs and onto the user's PATH. No administrator needed.
#   .\install.ps1            installs
#   .\install.ps1 -Remove    removes the service, the program and the PATH entry; configuration and state stay
# task.xml beside it is what "openclaw gateway install" fills in and gives to the scheduler; nothing here needs it.
param([switch]$Remove, [string]$Directory = "$env:LOCALAPPDATA\Programs\OpenClaw")
$ErrorActionPreference = 'Stop'
$program = Join-Path $Directory 'openclaw.exe'
$path = [Environment]::GetEnvironmentVariable('Path', 'User')
$entries = @($path -split ';' | Where-Object { $_ -and $_ -ne $Directory })

if ($Remove) {
    if (Test-Path $program) {
        & $program gateway uninstall
        # Without its program the task could not be removed any more.
        if ($LASTEXITCODE -ne 0) { throw "the service is still there: openclaw gateway uninstall ended with $LASTEXITCODE" }
        Remove-Item $program
    }
    [Environment]::SetEnvironmentVariable('Path', ($entries -join ';'), 'User')
    Write-Output "removed $program"
    exit
}

New-Item -ItemType Directory -Force $Directory | Out-Null
# A running program cannot be overwritten, but it can be renamed.
$old = "$program.old"
if (Test-Path $old) { Remove-Item $old -ErrorAction SilentlyContinue }
if (Test-Path $program) { Move-Item -Force $program $old }
Copy-Item (Join-Path $PSScriptRoot 'openclaw.exe') $program
[Environment]::SetEnvironmentVariable('Path', (($entries + $Directory) -join ';'), 'User')
& $program --version
if ($LASTEXITCODE -ne 0) { throw "$program does not run: it ended with $LASTEXITCODE" }
Write-Output 'next, in a new window: openclaw gateway install'
