<?xml version="1.0" encoding="UTF-8"?>
<!--
  Canonical XML to the layout that Microsoft published for Lync Server 2013, with nothing lost to its six types: what
  they cannot say becomes a CHAT whose words stand in square brackets. A preset of ours; README.md says why.
-->
<xsl:stylesheet version="1.0"
                xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:c="urn:chancery:1"
                xmlns:str="http://exslt.org/strings"
                extension-element-prefixes="str"
                exclude-result-prefixes="c">

  <xsl:import href="words.xsl"/>
  <xsl:output method="xml" encoding="UTF-8" indent="no"/>

  <!-- yes: what the six types cannot say is written as CHAT; no: it is left out. -->
  <xsl:param name="tell_all" select="'yes'"/>

  <xsl:template match="/">
    <xsl:if test="$tell_all != 'yes' and $tell_all != 'no'">
      <xsl:message terminate="yes">parameter tell_all: expected yes or no</xsl:message>
    </xsl:if>
    <Conversations>
      <xsl:apply-templates select="Conversations/Conversation"/>
    </Conversations>
  </xsl:template>

  <xsl:template match="Conversation">
    <xsl:variable name="told" select="Messages/Message[$tell_all = 'yes' or @type = 'CHAT' or @type = 'EDIT' or @type = 'JOIN'
        or @type = 'PART' or @type = 'BACKCHAT' or @type = 'FILEUPLOAD' or @type = 'FILEDOWNLOAD']"/>
    <!-- Heard by the service, which counts it in the batch's record. -->
    <xsl:if test="count($told) != count(Messages/Message)">
      <xsl:message>left out: <xsl:value-of select="count(Messages/Message) - count($told)"/></xsl:message>
    </xsl:if>
    <!-- The layout has no room without a message. -->
    <xsl:if test="$told">
      <Conversation>
        <Channel>
          <xsl:apply-templates select="Channel/@uri"/>
          <xsl:copy-of select="Channel/@name"/>
        </Channel>
        <FirstMessage><xsl:apply-templates select="$told[1]" mode="inside"/></FirstMessage>
        <Messages>
          <xsl:for-each select="$told"><Message><xsl:apply-templates select="." mode="inside"/></Message></xsl:for-each>
        </Messages>
        <StartTimeUTC><xsl:copy-of select="$told[1]/DateTimeUTC/@*"/></StartTimeUTC>
        <EndTimeUTC><xsl:copy-of select="$told[last()]/DateTimeUTC/@*"/></EndTimeUTC>
      </Conversation>
    </xsl:if>
  </xsl:template>

  <xsl:template match="Message" mode="inside">
    <xsl:variable name="native" select="@type = 'CHAT' or @type = 'JOIN' or @type = 'PART' or @type = 'BACKCHAT'
        or @type = 'FILEUPLOAD' or @type = 'FILEDOWNLOAD'"/>
    <xsl:choose>
      <xsl:when test="$native"><xsl:copy-of select="@type | @content | @id"/></xsl:when>
      <xsl:otherwise>
        <xsl:attribute name="type">CHAT</xsl:attribute>
        <xsl:attribute name="content"><xsl:call-template name="told"/></xsl:attribute>
        <xsl:copy-of select="@id"/>
      </xsl:otherwise>
    </xsl:choose>
    <Sender>
      <xsl:for-each select="Sender">
        <xsl:attribute name="UserName"><xsl:value-of select="@UserName | @userName"/></xsl:attribute>
        <xsl:copy-of select="@id | @email"/>
        <xsl:if test="string(@internal)"><xsl:copy-of select="@internal"/></xsl:if>
        <xsl:apply-templates select="@uri"/>
      </xsl:for-each>
    </Sender>
    <DateTimeUTC><xsl:copy-of select="DateTimeUTC/@*"/></DateTimeUTC>
  </xsl:template>

  <xsl:template name="told">
    <xsl:text>[</xsl:text>
    <xsl:apply-templates select="." mode="act"/>
    <xsl:text>] </xsl:text>
    <xsl:choose>
      <xsl:when test="@type = 'EDIT'">
        <xsl:value-of select="@content"/>
        <xsl:if test="@c:previous and $tell_all = 'yes'"><xsl:value-of select="concat(' [before] ', @c:previous)"/></xsl:if>
      </xsl:when>
      <xsl:when test="@type = 'DELETE'"><xsl:value-of select="@content"/></xsl:when>
    </xsl:choose>
  </xsl:template>

  <!-- The layout asks for xs:anyURI; addresses that are none are encoded. -->
  <xsl:template match="@uri">
    <xsl:attribute name="uri">
      <xsl:if test="contains(substring-before(concat(., '/'), '/'), ':') and translate(substring(., 1, 1),
          'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ', '') != ''">./</xsl:if>
      <xsl:choose>
        <xsl:when test="translate(., ' &lt;&gt;&quot;{}|\^`[]&#9;&#10;&#13;', '') != . or contains(substring-after(., '#'), '#')">
          <xsl:value-of select="str:encode-uri(., false())"/>
        </xsl:when>
        <xsl:otherwise><xsl:value-of select="."/></xsl:otherwise>
      </xsl:choose>
    </xsl:attribute>
  </xsl:template>
</xsl:stylesheet>
