{{- define "limelight.labels" -}}
{{ include "limelight.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "limelight.selector" -}}
app.kubernetes.io/name: limelight
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "limelight.name" -}}
{{ if eq .Release.Name "limelight" }}limelight{{ else }}{{ printf "%s-limelight" .Release.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}
