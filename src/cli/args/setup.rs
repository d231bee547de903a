//! The flags of `setup` and `onboard`, which are one command under two names.

use argh::{ArgsInfo, FromArgs};

use super::port;

/// Both commands take the same answers.
macro_rules! takes_answers {
    ($(#[$meta:meta])* pub struct $name:ident) => {
        #[derive(FromArgs, ArgsInfo, Debug, Default, PartialEq)]
        $(#[$meta])*
        pub struct $name {
            /// directory of the agent's files
            #[argh(option, arg_name = "dir")]
            pub workspace: Option<String>,
            /// local (a gateway here) or remote (use one elsewhere)
            #[argh(option, arg_name = "mode")]
            pub mode: Option<String>,
            /// with --mode remote: the gateway's ws:// or wss:// address
            #[argh(option, arg_name = "url")]
            pub remote_url: Option<String>,
            /// with --mode remote: its token
            #[argh(option, arg_name = "token")]
            pub remote_token: Option<String>,
            /// port to listen on (18789)
            #[argh(option, arg_name = "port", from_str_fn(port))]
            pub gateway_port: Option<u16>,
            /// where to listen: loopback, lan, tailnet, auto or custom (loopback)
            #[argh(option, arg_name = "mode")]
            pub gateway_bind: Option<String>,
            /// how callers prove who they are: token or password (token)
            #[argh(option, arg_name = "kind")]
            pub gateway_auth: Option<String>,
            /// the gateway's token; made up if not given
            #[argh(option, arg_name = "token")]
            pub gateway_token: Option<String>,
            /// the gateway's token is in this environment variable
            #[argh(option, arg_name = "name")]
            pub gateway_token_ref_env: Option<String>,
            /// the gateway's password
            #[argh(option, arg_name = "password")]
            pub gateway_password: Option<String>,
            /// provider of the model: openai, anthropic, openrouter, ..., custom, or skip
            #[argh(option, arg_name = "provider")]
            pub auth_choice: Option<String>,
            /// the provider's key; better in the provider's own environment variable
            #[argh(option, arg_name = "key")]
            pub api_key: Option<String>,
            /// the model, as the provider calls it
            #[argh(option, arg_name = "id")]
            pub custom_model_id: Option<String>,
            /// with --auth-choice custom: address of the endpoint
            #[argh(option, arg_name = "url")]
            pub custom_base_url: Option<String>,
            /// with --auth-choice custom: openai or anthropic (openai)
            #[argh(option, arg_name = "protocol")]
            pub custom_compatibility: Option<String>,
            /// how the key is kept: plaintext, or ref to the environment variable (plaintext)
            #[argh(option, arg_name = "how")]
            pub secret_input_mode: Option<String>,
            /// do not ask the provider whether the key works
            #[argh(switch)]
            pub skip_check: bool,
            /// set up this messenger: telegram
            #[argh(option, arg_name = "name")]
            pub channel: Option<String>,
            /// the messenger's token
            #[argh(option, arg_name = "token")]
            pub channel_token: Option<String>,
            /// do not ask about messengers
            #[argh(switch)]
            pub skip_channels: bool,
            /// write no starter files into the workspace
            #[argh(switch)]
            pub skip_bootstrap: bool,
            /// install the gateway as a service and start it
            #[argh(switch)]
            pub install_daemon: bool,
            /// only the configuration and workspace, without questions
            #[argh(switch)]
            pub baseline: bool,
            /// ask nothing: what no flag says is at its default
            #[argh(switch)]
            pub non_interactive: bool,
            /// accept that the agent's tools run as you
            #[argh(switch)]
            pub accept_risk: bool,
            /// nothing more; taken for scripts of the reference
            #[argh(switch)]
            pub skip_health: bool,
            /// nothing more; taken for scripts of the reference
            #[argh(switch)]
            pub skip_skills: bool,
            /// nothing more; taken for scripts of the reference
            #[argh(switch)]
            pub skip_ui: bool,
            /// print JSON, and nothing but JSON, on standard output
            #[argh(switch)]
            pub json: bool,
        }
    };
}

takes_answers! {
    /// make a first configuration and workspace; what is there already stays
    #[argh(subcommand, name = "setup", help_triggers("--help", "help"))]
    pub struct Setup
}

takes_answers! {
    /// the same as setup
    #[argh(subcommand, name = "onboard", help_triggers("--help", "help"))]
    pub struct Onboard
}

impl From<Onboard> for Setup {
    fn from(same: Onboard) -> Setup {
        Setup {
            workspace: same.workspace,
            mode: same.mode,
            remote_url: same.remote_url,
            remote_token: same.remote_token,
            gateway_port: same.gateway_port,
            gateway_bind: same.gateway_bind,
            gateway_auth: same.gateway_auth,
            gateway_token: same.gateway_token,
            gateway_token_ref_env: same.gateway_token_ref_env,
            gateway_password: same.gateway_password,
            auth_choice: same.auth_choice,
            api_key: same.api_key,
            custom_model_id: same.custom_model_id,
            custom_base_url: same.custom_base_url,
            custom_compatibility: same.custom_compatibility,
            secret_input_mode: same.secret_input_mode,
            skip_check: same.skip_check,
            channel: same.channel,
            channel_token: same.channel_token,
            skip_channels: same.skip_channels,
            skip_bootstrap: same.skip_bootstrap,
            install_daemon: same.install_daemon,
            baseline: same.baseline,
            non_interactive: same.non_interactive,
            accept_risk: same.accept_risk,
            skip_health: same.skip_health,
            skip_skills: same.skip_skills,
            skip_ui: same.skip_ui,
            json: same.json,
        }
    }
}
